"""Vector instructions written out by hand, where the compiler would take numbers one by one."""
