//! Folders as other generators really make them.
