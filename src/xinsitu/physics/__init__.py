"""The mathematics: functions on labelled arrays, whoever read them. Never imports ``xinsitu.io``."""
