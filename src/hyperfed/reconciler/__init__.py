"""Merge the graphs of many clients into one."""

from hyperfed.reconciler.reconcile import StoreReconciler, build_reconciler

__all__ = ["StoreReconciler", "build_reconciler"]
