"""Python packages: requirements and locks in, a simple index (PEP 503, 691, 658) out.

uv chooses versions, once per target (`targets.py`: a platform, a Python, a libc); we choose files, fetch them, and then
walk their own metadata (`closure.py`) to prove that each target can be installed from what is in the crate alone.
"""
