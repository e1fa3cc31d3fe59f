"""A tensor in, a tensor out: functions, modules, one dispatch, derivatives."""
