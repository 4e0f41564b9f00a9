"""Messages that are acknowledged once the ledger has what became of them: from Pub/Sub or Kafka."""
