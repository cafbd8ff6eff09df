"""What administrators do; every route needs a token that allows to administer, and an owner who may."""

from typing import Annotated

from fastapi import Depends

from api.access import Caller, needs
from models.domain.tokens import Operation

Admin = Annotated[Caller, Depends(needs(Operation.ADMINISTER))]
