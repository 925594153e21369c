"""The base of the embedded servers: clock, timelines, ledger, HTTP."""
