"""What starts the destroyer's programs where they were unpacked; `zave.aws.programs` packs these files."""
