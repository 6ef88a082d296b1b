"""Where files' bytes are kept. Rows about them are `spine.store.blobs`' business."""
