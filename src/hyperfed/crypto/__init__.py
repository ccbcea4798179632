"""Keep keys, sign envelopes and seal bodies; no other module imports nacl."""
