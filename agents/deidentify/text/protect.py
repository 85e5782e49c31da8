"""What must stay readable: eponyms, drugs, doses, vital signs, scores, anatomy. Only guesses give way to it.

The known layer knows whom the message is about and the patterns have context; a span of the model, which has neither, is dropped
where it covers protected words alone.
"""

from __future__ import annotations

import re

from agents.deidentify.text.spans import Found

#: Names that stand for diseases, signs and devices.
EPONYMS = frozenset("""
parkinson alzheimer crohn hodgkin addison cushing graves hashimoto huntington marfan raynaud sjogren bell down turner klinefelter
tourette wilson paget kaposi burkitt wilms ewing barrett meckel hirschsprung kawasaki takayasu wegener goodpasture guillain barre
charcot marie tooth lambert eaton horner babinski romberg brudzinski kernig murphy mcburney rovsing homan homans phalen tinel
lachman mcmurray trendelenburg valsalva heimlich foley swan ganz hickman broviac jackson pratt penrose kirschner glasgow apgar
braden morse norton wells child pugh killip ranson bishop gleason breslow clark dukes duke ann arbor rai binet framingham
mallory weiss zenker boerhaave plummer vinson dupuytren peyronie baker colles smith monteggia galeazzi salter harris garden
lisfranc jones osgood schlatter legg calve perthes scheuermann sever achilles bartholin cowper skene wharton stensen
willis broca wernicke korsakoff korsakov todd jacksonian lewy pick creutzfeldt jakob gerstmann asperger munchausen
lyme coxsackie epstein barr ebola zika marburg salmonella brucella pasteur yersinia bartonella rickettsia
whipple roux billroth nissen hartmann lichtenstein bassini mayo cooper kocher lanz pfannenstiel
doppler holter bruce roentgen hounsfield gram giemsa wright papanicolaou coombs kleihauer mantoux schick weber rinne snellen
ishihara amsler goldmann schirmer reiter still behcet felty caplan stevens johnson osler rendu von willebrand hippel lindau
recklinghausen ehlers danlos gaucher fabry pompe hurler hunter niemann tay sachs krabbe conn bartter gitelman fanconi alport
berger henoch schonlein buerger mondor virchow waldenstrom bence christmas rosenthal mobitz wenckebach wolff parkinson white
brugada fallot eisenmenger ebstein chiari arnold dandy walker kussmaul cheyne stokes biot lasegue spurling hawkins neer
kegel braxton hicks leopold chadwick sims pap schiller duchenne becker erb klumpke friedreich pott ludwig vincent ramsay hunt
meniere bechterew likert beck hamilton zung wechsler stroop rorschach karnofsky lansky ecog barthel tinetti berg norton
""".split())
_EPONYM_OF = re.compile(
    r"(?:['’]?s)?(?:[-\s](?:[A-Z][a-z]+(?:['’]?s)?)){0,3}[-\s](?:disease|syndrome|sign|test|maneuver|manoeuvre|palsy|lymphoma|sarcoma|scale|score|catheter|"
    r"drain|criteria|fracture|cyst|tumou?r|contracture|hernia|stain|reaction|phenomenon|thyroiditis|esophagus|disorder|bodies|dementia|"
    r"chorea|ataxia|dystrophy|classification|procedure|operation|incision|position|tendon|duct|gland|node|nodule|triad|law|line|grade|stage|ulcer|block|method|"
    r"monitor|protocol|index|inventory|abscess|angina|purpura|deficiency|anemia|nephropathy|encephalopathy|psychosis|contractions?|exercises?|smear|virus|murmur)",
)

_DRUG_ENDINGS = re.compile(
    r"\w{2,20}(?:pril|sartan|olol|alol|statin|cillin|mycin|micin|cycline|oxacin|azole|idine|dipine|zepam|zolam|barbital|prazole|gliptin|gliflozin|"
    r"glitazone|parin|xaban|gatran|grel|mab|nib|vir|vudine|tidine|setron|triptan|profen|fenac|oxicam|coxib|caine|curium|curonium|"
    r"terol|sone|solone|onide|lukast|phylline|thiazide|semide|lactone|amide|formin|oxetine|traline|pramine|triptyline|azine|"
    r"peridone|apine|codone|morphone|orphan|done|fentanil|phine|sulfa|cef\w*|mab|tide|relin|stim|platin|rubicin|taxel|bine|trexate|mustine|"
    r"dronate|cal|vastatin|fibrate|zosin|steride|afil|emide|one hydrochloride|ate sodium)s?",
    re.IGNORECASE,
)
_CLINICAL = frozenset("""
aspirin tylenol motrin advil aleve insulin lantus humalog novolog metformin glucophage lasix coumadin warfarin heparin plavix eliquis
xarelto lipitor crestor zocor zoloft prozac lexapro celexa paxil wellbutrin effexor cymbalta xanax ativan valium klonopin ambien
seroquel zyprexa risperdal abilify haldol lithium depakote keppra dilantin tegretol lamictal neurontin gabapentin lyrica synthroid
levothyroxine prednisone medrol solumedrol decadron albuterol ventolin proair advair symbicort spiriva singulair flonase zyrtec
claritin allegra benadryl nexium prilosec protonix pepcid zantac zofran phenergan reglan colace senna miralax dulcolax morphine
dilaudid oxycodone percocet oxycontin norco vicodin tramadol ultram fentanyl methadone suboxone narcan naloxone keflex augmentin
zithromax levaquin cipro bactrim flagyl vancomycin zosyn rocephin macrobid diflucan acyclovir valtrex tamiflu paxlovid remdesivir
methotrexate humira enbrel remicade plaquenil digoxin amiodarone nitroglycerin norvasc toprol lopressor coreg lisinopril losartan
diovan aldactone hctz potassium magnesium calcium sodium iron folate zinc vitamin ozempic trulicity victoza jardiance farxiga
januvia viagra cialis flomax proscar avodart tamoxifen arimidex femara herceptin keytruda opdivo rituxan avastin
escherichia coli staphylococcus aureus streptococcus pneumoniae klebsiella pseudomonas aeruginosa enterococcus faecalis proteus
mirabilis candida albicans aspergillus clostridium difficile mycobacterium tuberculosis legionella haemophilus influenzae neisseria
gonorrhoeae chlamydia trachomatis helicobacter pylori listeria acinetobacter serratia enterobacter bacteroides mycoplasma
covid sars influenza hiv hepatitis mrsa vre cdiff ekg ecg mri ct cta pet cbc bmp cmp inr ptt bnp tsh hba1c lft egd icu nicu picu ed er
or pacu gcs nihss phq gad moca mmse sofa news apache curb chads meld fev dexa echo
wbc rbc hgb hct plt mcv bun egfr ast alt ldl hdl crp esr psa ana anca dsdna
""".split())
_MEASURE = re.compile(
    r"[<>≤≥=~]?\s?\d+(?:[.,/]\d+)*\s?(?:mg|mcg|g|kg|ml|l|dl|units?|iu|meq|mmol|%|mmhg|bpm|cm|mm|lbs?|oz|°?[cf]|x|days?|weeks?|months?|hours?|hrs?|"
    r"mins?|minutes?|years?|yo|y/o|tabs?|tablets?|caps?|puffs?|drops?|times?)?(?:/(?:dl|ml|l|kg|day|hr|min|h|d))?",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]+")

#: Capitalised words that follow a title, a label or a person word and are no name.
NOT_NAMES = frozenset("""
the a an and or of in on at to for from with without by is was are were has had have will would can could may did does not no
he she they his her their him them we our i my you your it its this that these those who which there here
denies denied reports reported states stated presents presented presenting complains complained notes noted admits appears
endorses feels felt describes received underwent remains continues continued tolerated seen evaluated examined discussed advised
agreed agrees understands verbalized instructed given taken started stopped admitted discharged transferred referred scheduled
patient pt client resident member name male female man woman boy girl child infant newborn baby adult year old yo
mri ct cta xr ekg ecg us pet cbc bmp cmp ed er or icu or pacu nicu opd ros hpi pmh psh fh sh ros pe
history physical exam examination assessment plan impression diagnosis chief complaint allergies medications medication problem
problems list vitals vital signs review systems social family past surgical medical note notes report date time dob mrn ssn age sex
gender phone address email insurance id number no unknown none n/a na nkda information info details data record records status
hospital clinic center department unit ward room floor office service services team staff nursing nurse doctor physician
provider md rn np pa do phd dr mr mrs ms prof attending resident fellow intern consultant specialist
cardiology oncology neurology urology radiology pathology surgery medicine psychiatry dermatology gastroenterology nephrology
pulmonology endocrinology rheumatology hematology infectious disease orthopedics ophthalmology anesthesia anesthesiology
monday tuesday wednesday thursday friday saturday sunday january february march april june july august september october
november december today yesterday tomorrow morning afternoon evening night
acute chronic severe mild moderate stable unstable positive negative normal abnormal right left bilateral upper lower
type stage grade class level follow followup up call please see per re regarding subject cc via
with who has had been because due after before during until when where while if then
heart chest lung abdominal pain blood pressure rate diabetes mellitus hypertension cancer pneumonia copd chf cad ckd
care education portal safety rights satisfaction transfer transport identification position privacy consent
""".split())  # fmt: skip


def is_eponym_here(text: str, end: int, word: str) -> bool:
    """Whether a name that ends at ``end`` stands for a disease, sign or device at this place."""
    return word in EPONYMS and _EPONYM_OF.match(text, end) is not None


def is_protected(text: str, span: Found) -> bool:
    """Whether a guess covers nothing but clinical words or a measure."""
    covered = text[span.start : span.end]
    if _MEASURE.fullmatch(covered.strip()):
        return span.type not in ("ID", "PHONE", "DATE", "LOCATION") or len(covered.strip()) <= 3
    if span.type not in ("NAME", "ORGANIZATION", "LOCATION", "ID"):
        return False
    words = [word.casefold() for word in _WORD.findall(covered)]
    if not words:
        return False
    if all(word in _CLINICAL or _DRUG_ENDINGS.fullmatch(word) for word in words):
        return True
    return span.type == "NAME" and all(word in EPONYMS or word == "s" for word in words) and _EPONYM_OF.match(text, span.end) is not None
