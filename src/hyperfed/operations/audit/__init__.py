"""Audit a whole drop-box: read it again, offline, and believe nothing but the root fingerprint.

The checks run in this order, so that the first broken object is the first finding:
1. The registry: every version has its signatures and follows from the one before (R-23, R-24).
2. The ledger: its signatures, chain and grammar hold and no entry is missing (R-71, R-74). The
   budget holds at every prefix (R-72).
3. Each round: the plan follows from its registry (R-52). The freeze follows from the plan, the
   registry and the state of the round committed before it, and has its Merkle head. Every counted
   update lies in the pack of `accepted/` that the freeze names, with its client's signature and its
   digest (R-66), and is admissible: its header, and with a key its body, too (R-154). Nobody is
   counted twice for one window (R-94), no sequence falls (R-89), and every claim is in the ledger
   (R-73).
4. Result, state and ledger name each other (R-61, R-67). Receipts are what freeze and ledger give
   (R-68, R-70). Receipts in pages (R-44) are read only with keys that open them.
5. What a private result says of its privacy is what plan, registry and ledger give, and its reserve
   is what the plan spends (R-64). This takes no key.
6. With keys that open the bodies (a coordinator's or an auditor's), every result without noise and
   every state is computed again, and must be the same byte for byte in the canonical form. A result
   with noise cannot be computed again: nobody outside knows what noise was drawn. Where a freeze
   names another version of the merge's formula (R-66), numbers that differ are only remarked on.
   The formula of a federation's rounds never goes back. Masked messages that are not sealed need no
   key: their sum is opened again, and the result found in it, by anybody (R-213).
7. No object lies at a key where nothing belongs.

8. Every update of the cohort that lay in the inbox by a round's deadline is counted or refused
   (R-127). With a key, what was refused and still lies there is judged again (R-128).

What it does not do: write, or check what housekeeping has erased from the inbox. A missing receipt
is a remark and no finding, because a rerun of the round writes it. So are packs that no freeze
names: a repeated stage leaves them, and nothing was decided from them.
"""

from hyperfed.operations.audit.report import AuditReport, Finding
from hyperfed.operations.audit.run import audit

__all__ = ["AuditReport", "Finding", "audit"]
