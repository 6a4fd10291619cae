//! Tensors as the Open Inference Protocol writes them.
