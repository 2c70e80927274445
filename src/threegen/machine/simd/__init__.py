"""Vector instructions written out by hand, in terms of LLVM, for loops that the compiler does not vectorise.

Each file names its instructions, the processors that have them, the reason why it is written by hand, and the code for
other processors. All of it is correct on every processor that LLVM supports; `processor.has_wide_vectors` says where it
is fast. No LLVM type leaves `machine`: outside it these are functions that kernels call.
"""
