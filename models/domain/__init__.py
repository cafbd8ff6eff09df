"""What the system talks about, in pure Python: references, nodes, requests, plans, jobs, receipts, errors."""
