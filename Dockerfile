# The service in an image: docker build -t clerk-backboard-sync .
#   docker run --env-file .env IMAGE migrate     before each release, as the Procfile's release phase does
#   docker run --env-file .env -p 8000:8000 IMAGE          serves; any other command of the service may stand behind it
# Every package of the lock has a wheel, so no stage needs a compiler.

ARG PYTHON=python:3.13.9-slim-trixie

FROM ${PYTHON} AS build
COPY requirements.txt /
RUN python -m venv --without-pip /venv \
    && pip --python /venv/bin/python --no-cache-dir --disable-pip-version-check \
       install --require-hashes --only-binary :all: --no-deps -r /requirements.txt

# The stand-in for Backboard of compose.yaml; it needs nothing but Python's own library.
FROM ${PYTHON} AS sandbox
ENV PYTHONUNBUFFERED=1
WORKDIR /srv
COPY tools/__init__.py tools/
COPY tools/sandbox tools/sandbox
USER 10001:10001
HEALTHCHECK --interval=2s --timeout=2s --start-period=10s --retries=5 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8090/_ledger', timeout=1)"]
CMD ["python", "-m", "tools.sandbox.backboard", "--port", "8090"]

FROM ${PYTHON} AS service
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv
COPY --from=build /venv /venv
COPY sql sql
COPY app app
# Compiled here, because the user below may write nothing.
RUN python -m compileall -q app /venv/lib
USER 10001:10001
EXPOSE 8000
# /healthz touches nothing, so an outage of Postgres or Backboard restarts no container.
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ.get('PORT') or 8000}/healthz\", timeout=2)"]
# The commands listen to SIGTERM; `serve` ends within 20 s, so give `docker stop` 25: --stop-timeout 25.
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "app"]
CMD ["serve"]
