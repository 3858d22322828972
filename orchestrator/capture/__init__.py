"""Carry out session instructions on hosts and collect what they captured."""
