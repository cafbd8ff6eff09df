"""The retryable steps of moving one study: query, retrieve, pseudonymize, store, confirm."""
