"""The workbench: a local page on which one edits a variant and sees its answer, `growproof serve`."""
