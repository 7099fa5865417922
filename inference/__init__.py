"""Models, admission, the fair queue, generation, dialogs, metering."""
