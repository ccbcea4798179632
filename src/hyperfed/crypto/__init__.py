"""Keep keys, sign envelopes and seal bodies; only these modules import nacl."""
