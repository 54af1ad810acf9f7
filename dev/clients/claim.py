"""Claims a user's reward with the client that openapi-python-client generated: with a body, and without one."""

import os
import sys

from plaudit_client.api.users import claim
from plaudit_client.client import AuthenticatedClient
from plaudit_client.models.claim import Claim
from plaudit_client.models.receipt import Receipt

user = sys.argv[1]
client = AuthenticatedClient(base_url=os.environ["URL"], token=os.environ["CLIENT"])

first = claim.sync(user, "first-team", client=client)
assert isinstance(first, Receipt), first
assert first.rewards, "the receipt has a line"

again = claim.sync(user, "first-team", client=client, body=Claim(period=first.period, milestone=first.milestone))
assert isinstance(again, Receipt) and again.position == first.position, "a repeated claim gets the same receipt"
print(f"claimed {first.rewards[0].amount} {first.rewards[0].code} for {user}")
