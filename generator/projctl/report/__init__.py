"""What a fleet did over weeks: recorded events → runs → figures → a report as text, JSON or a page."""
