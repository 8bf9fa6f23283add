//! Scenarios through the operation table.
