# One image for every role; compose.yaml gives each its command. It runs as nobody special, and everything
# that is written at run time lies in /data and /tmp, so the rest may be read-only.
FROM python:3.11-slim AS build
WORKDIR /app
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PATH=/opt/venv/bin:$PATH
RUN python -m venv /opt/venv
COPY requirements.lock config/bootstrap.py ./
# The embedded PostgreSQL stays out: the database has a container of its own.
RUN python -c "import bootstrap; bootstrap.VENV = '/tmp'; bootstrap.without_embedded_server('requirements.lock')" \
    && pip install --require-hashes -r /tmp/requirements.lock \
    && rm bootstrap.py
COPY . .
# Static files, translations and bytecode are made here, where code can still be written to.
RUN DATA_DIR=/tmp STATIC_ROOT=/app/collected python manage.py collectstatic --no-input --verbosity 0 \
    && python -m compileall -q accounts agents config conversations integrations

FROM python:3.11-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin switchboard \
    && install -d -o switchboard -g switchboard /data
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=config.settings DATA_DIR=/data STATIC_ROOT=/app/collected HOST=0.0.0.0
USER 10001:10001
EXPOSE 8000
CMD ["python", "-m", "config.web"]
