"""The functional core: no I/O, no clock, no mode. It is told what happened and answers what to do."""
