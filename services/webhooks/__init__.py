"""Webhooks: programs of others are told what becomes of jobs, by signed requests to addresses of administrators."""
