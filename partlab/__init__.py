"""The kernel every room shares: schema, masks, COCO files, images, errors, settings."""
