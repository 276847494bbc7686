"""ensure-user as the FastAPI and SQLAlchemy tutorials would write it."""

import os
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    clerk_id: Mapped[str]
    assistant_id: Mapped[str]
    email: Mapped[str | None]
    name: Mapped[str | None]
    created_at: Mapped[datetime]
    deleted_at: Mapped[datetime | None]


class Wanted(BaseModel):
    clerk_id: str = Field(pattern=r"^user_[A-Za-z0-9]{1,64}$")


class Found(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: uuid.UUID
    clerk_id: str
    assistant_id: str
    email: str | None
    name: str | None
    created_at: datetime


# asyncpg reads PGHOST and its like, as the other peers do.
engine = create_async_engine("postgresql+asyncpg://", pool_size=10, max_overflow=0)
sessions = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


async def open_session() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(open_session)]


@app.post("/ensure-user")
async def ensure_user(wanted: Wanted, session: Session, authorization: Annotated[str, Header()]) -> Found:
    if authorization != f"Bearer {os.environ['SERVICE_TOKENS']}":
        raise HTTPException(401)
    found = await session.scalar(select(User).where(User.clerk_id == wanted.clerk_id, User.deleted_at.is_(None)))
    if found is None:
        raise HTTPException(404)
    return Found.model_validate(found)


@app.get("/readyz")
async def readyz(session: Session) -> dict[str, bool]:
    return {"ready": await session.scalar(select(1)) == 1}


if __name__ == "__main__":
    port = int(os.environ["PORT"])
    uvicorn.run(app, port=port, loop="uvloop", http="httptools", access_log=False, log_level="warning")
