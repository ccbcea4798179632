"""What a round looks like to a person: one view of it (`view`), shown as markdown, HTML, terminal text and pictures."""
