"""What keeps a client from finding backends: checks that each say what was seen, and what to do about it.

finding     what a check has found                                      pure
judging     what an answer means                                        pure
examining   runs checks, at once where they do not depend on each other
kubernetes  the API server: found, reached, trusted, on time
permissions what targets read there: allowed, and streamed
consul      Consul: reached, led, recent enough, with a token
surroundings the DNS, and the client's own place
reach       whether backends can be connected to from here
checklist   which checks there are for some targets
"""
