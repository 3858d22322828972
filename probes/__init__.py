"""One host: tcpdump and a transport. Knows no topology and no queue."""
