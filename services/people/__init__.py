"""Accounts, groups and sessions: who somebody is, how they sign in, and what their groups let them do."""
