"""What an operator wants of DAMON, in files: load -> select -> fit -> compose -> plan -> reconcile.

Everything before `reconcile` is functions from value to value; only the reconciler touches the kernel, by its owner.
"""
