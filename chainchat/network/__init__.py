"""What every socket of a node needs: addresses, how writing is done, how a connection ends."""
