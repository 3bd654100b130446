// A library needs a source, even one that is there for its precompiled header.
