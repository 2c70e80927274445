"""Vector instructions written out by hand, in terms of LLVM, for loops that the compiler does not make into vectors.

Each file says which instructions it stands for, which processors have them, why it is written by hand, and what runs on
other processors. All of it is correct on every processor that LLVM knows; `processor.has_wide_vectors` says where it is
quick. No type of LLVM leaves `machine`: outside of it these are functions that kernels call.
"""
