"""What the compiled packet filter does with one packet, in the kernel's semantics; what is not modelled is unknown."""
