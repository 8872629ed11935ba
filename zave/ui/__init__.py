"""What people and programs see: sinks for events, tables, questions. Nothing below this layer prints."""
