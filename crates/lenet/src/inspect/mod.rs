//! Looking inside: summaries and pictures.
