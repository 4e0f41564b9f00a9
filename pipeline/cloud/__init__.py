"""What speaks to Google Cloud: its clients live here and nowhere else. pipeline.core never imports this."""
