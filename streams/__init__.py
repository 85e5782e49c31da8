"""The log: settings, topics, the discipline around Faust, dead letters, the embedded broker. Knows no medicine."""
