"""Tests of servers and folders as they are configured."""
