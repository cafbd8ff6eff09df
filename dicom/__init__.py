"""The trade: network, de-identification and files. Works from a plain script, without database, Prefect or UI."""
