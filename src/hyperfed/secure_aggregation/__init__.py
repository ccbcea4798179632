"""Add numbers that nobody sees one by one, each client speaking once.

1. A client masks its numbers with seeds that it gives to helpers, in sealed boxes (`masking`).
2. Helpers confirm their boxes before the freeze, and after it add the masks of one cohort
   (`opening`). Any q of them open the sum; fewer learn nothing (`registry.helper_group`).
3. What was opened before decides what may be opened next (`helper_marks`,
   `registry.blocks`).
4. With noise shares the sum is differentially private towards everyone (`noise`).

Bonawitz's pairwise masks (CCS 2017) and SecAgg+ (Bell et al., CCS 2020) need clients that answer
three times and keep secrets in between; a drop-box sees each client once a night.

What it does not do: judge a client's numbers, which nobody sees; any client can set a masked sum.
"""

from hyperfed.registry.blocks import BlockCohort as BlockCohort
from hyperfed.registry.blocks import check_blocks as check_blocks
from hyperfed.registry.blocks import complete_blocks as complete_blocks
from hyperfed.registry.blocks import smallest_class as smallest_class
from hyperfed.registry.helper_group import HelperGroup as HelperGroup
from hyperfed.secure_aggregation.boxes import box_digest as box_digest
from hyperfed.secure_aggregation.boxes import check_seeds as check_seeds
from hyperfed.secure_aggregation.boxes import open_box as open_box
from hyperfed.secure_aggregation.boxes import open_published_box as open_published_box
from hyperfed.secure_aggregation.fixed_point import from_fixed_point as from_fixed_point
from hyperfed.secure_aggregation.fixed_point import to_fixed_point as to_fixed_point
from hyperfed.secure_aggregation.helper_marks import HelperMarks as HelperMarks
from hyperfed.secure_aggregation.helper_marks import ReservedCohort as ReservedCohort
from hyperfed.secure_aggregation.masking import MaskedMessage as MaskedMessage
from hyperfed.secure_aggregation.masking import mask_message as mask_message
from hyperfed.secure_aggregation.noise import add_noise_share as add_noise_share
from hyperfed.secure_aggregation.noise import honest_shares as honest_shares
from hyperfed.secure_aggregation.noise import rho_of_sum as rho_of_sum
from hyperfed.secure_aggregation.opening import Cohort as Cohort
from hyperfed.secure_aggregation.opening import Manifest as Manifest
from hyperfed.secure_aggregation.opening import OpenedSum as OpenedSum
from hyperfed.secure_aggregation.opening import Opening as Opening
from hyperfed.secure_aggregation.opening import add_masks as add_masks
from hyperfed.secure_aggregation.opening import check_openings as check_openings
from hyperfed.secure_aggregation.opening import open_sum as open_sum
from hyperfed.secure_aggregation.streams import MaskContext as MaskContext

__all__ = [
    "BlockCohort",
    "Cohort",
    "HelperGroup",
    "HelperMarks",
    "Manifest",
    "MaskContext",
    "MaskedMessage",
    "OpenedSum",
    "Opening",
    "ReservedCohort",
    "add_masks",
    "add_noise_share",
    "box_digest",
    "check_blocks",
    "check_openings",
    "check_seeds",
    "complete_blocks",
    "from_fixed_point",
    "honest_shares",
    "mask_message",
    "open_box",
    "open_published_box",
    "open_sum",
    "rho_of_sum",
    "smallest_class",
    "to_fixed_point",
]
