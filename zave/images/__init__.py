"""Machine images: the vendors' cloud images, verified and kept, and those that Packer builds on them."""
