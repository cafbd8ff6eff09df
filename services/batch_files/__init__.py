"""Batch files: spreadsheets read into typed rows with every problem of every row, and written for people to go on with.

Works from a plain script: no database, no Prefect. What is in a file is patient data and goes nowhere but to its owner.
"""
