//! The local models: what they are, where they lie, how they get here.
