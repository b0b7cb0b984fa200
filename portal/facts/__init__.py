"""Facts: what an enterprise told of itself once, so that nothing asks for it twice."""
