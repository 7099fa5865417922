# One image for every process of Forma; docker-compose.yml says which container runs which.
#     docker build -t forma .

FROM python:3.13-slim-trixie AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/forma
RUN python -m venv .venv
COPY requirements.txt .
# Every file that comes in is held against the hash that the repository names.
RUN .venv/bin/pip install --require-hashes --only-binary :all: -r requirements.txt

FROM python:3.13-slim-trixie
RUN groupadd --system --gid 10001 forma \
    && useradd --system --uid 10001 --gid forma --no-create-home --home-dir /data --shell /usr/sbin/nologin forma \
    && install --directory --owner forma --group forma --mode 0700 /data
WORKDIR /opt/forma
# Code and packages belong to root, so that the process that runs them cannot change them.
COPY --from=packages /opt/forma/.venv .venv
COPY . .
RUN .venv/bin/python -m compileall -q app billing bot cli inference kit migrations sandbox web
ENV PATH=/opt/forma/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FORMA_DATA_DIR=/data \
    FORMA_HTTP_HOST=0.0.0.0 \
    FORMA_LOG_FORMAT=json
# A number, not a name: orchestrators that refuse root can then see that this is not root.
USER 10001:10001
# Used by `up` alone, for its embedded servers; bot, worker and web keep nothing on disk.
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "cli"]
CMD ["up"]
