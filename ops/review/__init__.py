"""Review of samples: a queue out of the log, a page for clinicians, other tools' formats, agreement. Verdicts go to ``train.label.reviewed.v1``."""
