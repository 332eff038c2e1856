"""Statistical validators: what a healthy row hardly ever looks like, by the model's own calibration.

Their finds are doubts, settled by embedding those chunks again (`proof`), so a healthy row they suspect is not repaired
for ever. Validators of one row see a block; those of the whole table see a `Summary` of it.
"""

import numpy as np

from resources.reconciliation.audit.block import Block
from resources.reconciliation.audit.calibration import Calibration, cosines
from resources.reconciliation.audit.catalogue import NAMED_BY_PROOF, vector_validator
from resources.reconciliation.audit.summary import Summary
from resources.reconciliation.drift import Severity

# Below this share of the calibrated spread, the pooled vectors point the same way: a mean cosine above 0.74 for the
# default model, whose narrowest real collections stay below 0.4.
COLLAPSED = 0.3
OUTLIER = 3.5
FEWEST_TO_COMPARE = 50


@vector_validator(NAMED_BY_PROOF, exact=False, whole_row=True)
def relation(block: Block, calibration: Calibration) -> np.ndarray:
    """Pooled vector and token vectors are not of one text, or not of this model: the one does not predict the other.

    The mean of the token vectors is nearly a linear function of the pooled vector, so random vectors, another text's
    and another model's give themselves away wherever only one of the two columns changed, and most where both did.
    """
    if block.pooled.shape[1] != len(calibration.relation):
        return np.ones(len(block), bool)
    with np.errstate(over="ignore", invalid="ignore"):
        predicted = block.pooled @ calibration.relation + calibration.relation_bias
        bad: np.ndarray = ~(cosines(predicted, block.token_means) >= calibration.relation_min)
    return bad


@vector_validator(NAMED_BY_PROOF, exact=False, table=True)
def out_of_place(summary: Summary, _: Calibration) -> np.ndarray:
    """The pooled vector reaches into directions that the model hardly uses, far more than the corpus's others do.

    Random vectors and other models' do. How far healthy vectors reach depends on the subject, so rows are held against
    the median of their own corpus (Iglewicz and Hoaglin, "How to detect and handle outliers", 1993, on logarithms).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.log(summary.rare_shares)
    known = np.isfinite(reach)
    if known.sum() < FEWEST_TO_COMPARE:
        return np.zeros(len(summary), bool)
    middle = np.median(reach[known])
    deviation = np.median(np.abs(reach[known] - middle))
    bad: np.ndarray = 0.6745 * (reach - middle) > OUTLIER * deviation
    return bad


@vector_validator("repeated_batch", exact=False, table=True)
def repeated(summary: Summary, _: Calibration) -> np.ndarray:
    """The same pooled vector, to the byte, for chunks of three or more texts."""
    many: np.ndarray = summary.texts_of_its_vector() > 2
    return many


@vector_validator(NAMED_BY_PROOF, exact=False, table=True)
def twins(summary: Summary, _: Calibration) -> np.ndarray:
    """The same pooled vector, to the byte, for chunks of two texts."""
    two: np.ndarray = summary.texts_of_its_vector() == 2
    return two


@vector_validator("low_diversity", exact=False, table=True, severity=Severity.MEDIUM)
def collapsed(summary: Summary, calibration: Calibration) -> np.ndarray:
    """All pooled vectors point nearly the same way, far more than the model's own do."""
    return np.full(len(summary), len(summary) > 1 and summary.spread < COLLAPSED * calibration.spread)
