"""Clock, logging, metrics and health: what every floor above may use."""
